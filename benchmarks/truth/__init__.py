"""Whether the journal tells the truth: its bytes and times beside an independent capture of the same storm."""
