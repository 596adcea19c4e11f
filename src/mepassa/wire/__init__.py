"""MePassa's own bytes and the model's words, both ways; limits are checked before memory is spent."""
