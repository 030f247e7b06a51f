"""One call of an electron on the dispatcher: staged, run as a Batch job, collected, and put into words."""
