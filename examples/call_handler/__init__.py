"""An API and a page in front of the recording pipeline, to start from: webhooks in, recordings out."""
