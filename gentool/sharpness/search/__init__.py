"""Search the worst perturbation in a box, by default or as the literature did.

state                   a search under way: its cost, its best point, its table of starts
climb                   vertex iteration, the step of most searches
multi_start             the default search; starts, genetic, rprop and flips are its parts
baselines, protocols    searches and protocols of the literature, by name
enumeration             all corners, for small linear models
progress                the progress bar
"""
