"""What the adapters cost, beside their bare SDKs and over thousands of messages."""
