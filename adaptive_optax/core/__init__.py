"""The mathematics of one array, and its lift to trees."""
