/** The figures that the app under load reports, at rest and after a forced garbage collection. */
export interface Health {
  readonly heapUsed: number
  readonly rss: number
  /** of the event loop, in milliseconds, since this was asked last; the forced collections left out */
  readonly delay: { readonly p50: number, readonly p99: number, readonly max: number }
  readonly sockets: number
  /** on the process and the server */
  readonly listeners: number
  /** on the connection that has most of them */
  readonly socketListeners: number
  /** requests that came, of which some are watched, of which some are collected */
  readonly requests: number
  readonly sampled: number
  readonly collected: number
  /** handlers that ran for a request that was to be refused, or whose client had gone */
  readonly wronglyAdmitted: number
  readonly rejections: number
  readonly exceptions: number
  readonly warnings: number
  /** 5xx on routes that are not made to fail */
  readonly unmeant5xx: number
  /** answers, as the server counts them */
  readonly byStatus: Readonly<Record<string, number>>
}
