"""The committed evidence: comparisons with their journals, and the tables and figures that follow from them."""
