"""What moves a learning rate."""
