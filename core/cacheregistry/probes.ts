/**
 * How long a Pod may take to say that it is ready. With Kubernetes' default of one second a node that is busy for three takes all
 * replicas out of their Service at once, which then refuses every connection.
 */
export const PROBE_SECONDS = 3;
