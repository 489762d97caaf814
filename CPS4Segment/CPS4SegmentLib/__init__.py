"""What the module CPS4Segment is made of."""
