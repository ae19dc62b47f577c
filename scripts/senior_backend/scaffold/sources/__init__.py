"""Where a resource model comes from: each front door is one module."""
