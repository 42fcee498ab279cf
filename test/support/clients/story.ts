/** What a client saw of the README's first story: a film from upload to revocation. */
export interface FilmStory {
  /** The SHA-256 of the same file, uploaded as a form and as a body. */
  hashes: Array<string | null>
  codecs: string[]
  /** Status and size of the response to a byte range. */
  range: [status: number, size: number]
  views: { total: number; unique: number; perDay: number[]; logged: number; message: string }
  revoked: number
  /** Status of the link after revocation. */
  afterRevocation: number
}

/** What a client saw of the README's second story: a course from registration to leaving. */
export interface CourseStory {
  roles: string[]
  batch: { successful: number; files: string[]; errors: Array<string | undefined> }
  /** Titles of all courses. */
  courses: string[]
  lectures: string[]
  /** Status of a lecture's link while subscribed, of leaving, and of the link after that. */
  access: number[]
  progress: { reported: number; completed: boolean }
  analytics: { subscribers: number; started: number[] }
}

/** What a client saw of an invalid request. */
export interface Refusal {
  status: number
  code: string
  paths: string[]
}

/** The README's stories, told by one generated client. */
export interface Stories {
  film(origin: string, movie: Blob): Promise<FilmStory>
  course(origin: string, movie: Blob): Promise<CourseStory>
  /** Sends a request that does not compile without `@ts-expect-error`. */
  refusal(origin: string): Promise<Refusal>
}
