"""What several tests share: networks, data, records and independent computations."""
