"""Hold what every room needs: errors, output files, the console, registries. No torch."""
