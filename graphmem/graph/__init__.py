"""Kernels over the graph: entities, their links, facts, synonymy, Personalized PageRank."""
