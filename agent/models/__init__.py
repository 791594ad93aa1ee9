"""What agents reason with: rules of our own, an endpoint that speaks OpenAI's interface, or recorded answers."""
