"""What `make finetune` of the lab makes, as the adapters load it."""
