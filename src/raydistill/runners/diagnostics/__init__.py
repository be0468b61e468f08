"""What `raydistill doctor` looks at: here, and on a cluster's nodes."""
