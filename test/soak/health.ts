/** The figures that the app under load reports, without load and after a forced garbage collection. */
export interface Health {
  readonly heapUsed: number
  readonly rss: number
  /** delay of the event loop in milliseconds since the last report, without the forced collections */
  readonly delay: { readonly p50: number, readonly p99: number, readonly max: number }
  readonly sockets: number
  /** listeners on the process and the server */
  readonly listeners: number
  /** listeners on the connection that has the most */
  readonly socketListeners: number
  /** numbers of requests: received, observed, and collected ones among the observed */
  readonly requests: number
  readonly sampled: number
  readonly collected: number
  /** number of handlers that ran for a request that must be denied, or whose client had disconnected */
  readonly wronglyAdmitted: number
  readonly rejections: number
  readonly exceptions: number
  readonly warnings: number
  /** 5xx on routes that are not made to fail */
  readonly unmeant5xx: number
  /** answers, as counted by the server */
  readonly byStatus: Readonly<Record<string, number>>
}
