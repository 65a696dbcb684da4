"""What is stored, and who may see it. Imports nothing of the other rooms."""
