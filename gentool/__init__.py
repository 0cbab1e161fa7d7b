"""gentool: train VGGs and MLPs on true or random labels, and measure why they generalize."""

__version__ = "0.1.0"
