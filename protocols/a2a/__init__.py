"""A2A 1.0 (Agent2Agent) through its official SDK."""

import os

# The SDK opens spans in all its calls once OpenTelemetry can be imported. Here it can only because another protocol's
# SDK needs it, nobody collects the spans, and they take a tenth of A2A's CPU. To be read before the SDK is imported.
os.environ.setdefault("OTEL_INSTRUMENTATION_A2A_SDK_ENABLED", "false")
