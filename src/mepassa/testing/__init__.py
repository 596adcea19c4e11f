"""Virtual time, seeded chance and peers that crash at a chosen step; shipped, so that others can test with them too."""
