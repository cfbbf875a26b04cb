"""Scripts of `./do docs` and `./do check`: what is written from the code, and what is looked at."""
