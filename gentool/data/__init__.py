"""Load data sets and draw from them: subsets, random labels, confusion sets."""
