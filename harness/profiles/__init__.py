"""Sets of limits that come with the program; `--profile NAME` finds them here. They hold no code."""
