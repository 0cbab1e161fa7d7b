"""Attack every reader of files with damaged and hostile inputs; see tests/README.md."""
