"""Side-by-side measurements; each script prints ratios from one run."""
