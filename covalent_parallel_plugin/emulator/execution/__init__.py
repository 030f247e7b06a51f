"""Schedule jobs, start the attempts of their tasks, and model VMs."""
