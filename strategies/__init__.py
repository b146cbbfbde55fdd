"""Rescue policies, one pure file each; ``strategies.registry`` lists what ships."""
