"""Images and labels: data sets, subsets, random labels, confusion sets."""
