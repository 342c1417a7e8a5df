"""What Midtime asks of a Kubernetes API server; nothing here knows what runs in the pods."""
