"""Health checks: configuration -> probes -> judgement -> dependency graph -> report."""
