"""What a transformation is made of, which learning rate it applies, and what in it is wrong."""
