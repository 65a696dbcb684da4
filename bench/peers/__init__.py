"""Who is compared. Each peer knows how to start itself on the ground, and how to carry out uploads."""
