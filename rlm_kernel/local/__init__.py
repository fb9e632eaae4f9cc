"""The environment `local`: kernels that this machine's fork server forks."""
