"""What happens while a model trains: measured, shown and written down."""
