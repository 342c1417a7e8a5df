"""What the stores in Amazon's cloud share: how they log in, and what a refusal means."""
