"""Break a running installation in every way a machine can, and prove that nothing was lost (`make chaos`)."""
