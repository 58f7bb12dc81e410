"""What turns batches into updated weights: in one process, or sharded by DeepSpeed."""
