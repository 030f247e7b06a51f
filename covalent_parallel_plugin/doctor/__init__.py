"""What is wrong with a set-up, told before a job is paid for: checks that look, and judgements of what they saw."""
