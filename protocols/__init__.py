"""What two processes of the lab must agree on: messages, wire, adapters, clock, errors."""
