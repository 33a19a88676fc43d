"""Kernels over vectors: nearest neighbours."""
