"""What makes a traced program quick on CPUs."""
