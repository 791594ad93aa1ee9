"""The lab's own TCP proxy, through which the agents' traffic goes in the scenarios that bend it."""
