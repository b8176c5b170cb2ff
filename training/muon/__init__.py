"""Muon tomography: where walls are buried, voxel by voxel."""
