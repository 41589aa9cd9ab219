"""The experiment of `make efficiency`: strategies x seeds x rounds by the loop's own stages."""
