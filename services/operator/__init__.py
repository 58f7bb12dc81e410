"""The controller that turns a FineTuneJob into a KubeRay RayJob and mirrors its run's status."""
