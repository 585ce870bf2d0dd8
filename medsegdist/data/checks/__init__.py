"""What `medsegdist check` looks for: one kind of problem a file, each from facts that were read before."""
