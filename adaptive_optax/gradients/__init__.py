"""What is done to gradients before an optimizer sees them, and what they tell."""
