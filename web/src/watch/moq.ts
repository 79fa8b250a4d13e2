// Media over QUIC, as much of it as a viewer needs: a session by WebTransport, and the frames of the tracks it asks for.
//
// Spec: draft-lcurley-moq-lite-06.

const VERSION = "moq-lite-06";
/** First byte of a stream that goes one way: what it carries. */
const GROUP = 0;
const SETUP = 1;
/** First byte of a stream that goes both ways. */
const SUBSCRIBE = 2;
/** In SETUP: one parameter, the role (3), which is that of a subscriber (2). */
const SUBSCRIBER = [1, 3, 1, 2];
/** A group that its successor has followed for so long is not waited for. */
const LATE_MS = 3000;
/** Groups of a track that may wait to be read; more mean that nobody reads. */
const GROUPS_MAX = 16;
const FRAME_BYTES_MAX = 32 << 20;

/** A connection to a server, for one viewer. */
export class Session {
  private readonly tracks = new Map<number, Track>();
  private asked = 0;

  private constructor(private readonly transport: WebTransport) {
    this.receive()
      .catch(() => {})
      .finally(() => this.tracks.forEach((track) => track.end()));
  }

  /** Connects to a server whose certificate has that SHA-256, hexadecimal. */
  static async connect(url: string, sha256: string): Promise<Session> {
    const value = Uint8Array.from(sha256.match(/../g) ?? [], (byte) => parseInt(byte, 16));
    const options = { serverCertificateHashes: [{ algorithm: "sha-256", value }], protocols: [VERSION] };
    const transport = new WebTransport(url, options);
    // The same news as that of `ready`, and of every stream.
    transport.closed.catch(() => {});
    await transport.ready;
    const setup = (await transport.createUnidirectionalStream()).getWriter();
    await setup.write(Uint8Array.from([SETUP, ...message(SUBSCRIBER)]));
    // Who has read what there is may stop the stream before its end has come.
    setup.close().catch(() => {});
    return new Session(transport);
  }

  /** Frames of a track from now on, until it ends. Those of a group that was dropped are missing. */
  async *subscribe(broadcast: string, name: string): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    const id = (this.asked += 1);
    const track = new Track();
    this.tracks.set(id, track);
    const { readable, writable } = await this.transport.createBidirectionalStream();
    const writer = writable.getWriter();
    try {
      // Behind the names: priority, patience, and no bounds of groups and frames.
      const wish = [...varint(id), ...text(broadcast), ...text(name), 0, ...varint(LATE_MS), 0, 0, 0, 0];
      await writer.write(Uint8Array.from([SUBSCRIBE, ...message(wish)]));
      new Reader(readable).drain().finally(() => track.end());
      yield* track.frames();
    } finally {
      this.tracks.delete(id);
      writer.close().catch(() => {});
    }
  }

  close(): void {
    this.transport.close();
  }

  private async receive(): Promise<void> {
    const streams = this.transport.incomingUnidirectionalStreams.getReader() as ReadableStreamDefaultReader<ReadableStream<Uint8Array>>;
    for (;;) {
      const { value, done } = await streams.read();
      if (done) return;
      this.accept(new Reader(value)).catch(() => {});
    }
  }

  private async accept(stream: Reader): Promise<void> {
    if ((await stream.varint()) !== GROUP) return stream.drain();
    await stream.varint(); // Length of what follows, in front of the frames.
    const track = this.tracks.get((await stream.varint()) ?? 0);
    const number = (await stream.varint()) ?? 0;
    await stream.varint(); // Its first frame is the first of the group.
    if (track) track.add({ number, stream });
    else stream.cancel();
  }
}

interface Group {
  number: number;
  stream: Reader;
}

/** Groups of one track, which may come in any order. */
class Track {
  private groups: Group[] = [];
  private next = 0;
  private over = false;
  private wake = (): void => {};

  add(group: Group): void {
    if (group.number < this.next || this.groups.length >= GROUPS_MAX) return group.stream.cancel();
    this.groups.push(group);
    this.groups.sort((one, other) => one.number - other.number);
    this.wake();
  }

  end(): void {
    this.over = true;
    this.wake();
  }

  async *frames(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (;;) {
      const group = this.groups.shift();
      if (group) {
        this.next = group.number + 1;
        yield* group.stream.frames();
      } else if (this.over) return;
      else await new Promise<void>((wake) => (this.wake = wake));
    }
  }
}

/** Takes numbers and bytes out of a stream; gives null behind its end. */
class Reader {
  private readonly source: ReadableStreamDefaultReader<Uint8Array>;
  private chunks: Uint8Array[] = [];
  private held = 0;

  constructor(stream: ReadableStream<Uint8Array>) {
    this.source = stream.getReader();
  }

  /** Frames of a group, until it ends or is dropped. */
  async *frames(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    for (;;) {
      const frame = await this.frame().catch(() => null);
      if (!frame) return;
      yield frame;
    }
  }

  async varint(): Promise<number | null> {
    const [first] = (await this.read(1)) ?? [];
    if (first === undefined) return null;
    const rest = await this.read((1 << (first >> 6)) - 1);
    return rest && rest.reduce((value, byte) => value * 256 + byte, first & 0x3f);
  }

  /** Reads and forgets the rest. */
  async drain(): Promise<void> {
    while (!(await this.source.read().catch(() => ({ done: true }))).done);
  }

  cancel(): void {
    this.source.cancel().catch(() => {});
  }

  private async frame(): Promise<Uint8Array<ArrayBuffer> | null> {
    await this.varint(); // Its time stamp, which is in the media too.
    const size = await this.varint();
    if (size === null) return null;
    if (size > FRAME_BYTES_MAX) throw new Error(`a frame of ${size} bytes is too long`);
    return this.read(size);
  }

  private async read(size: number): Promise<Uint8Array<ArrayBuffer> | null> {
    while (this.held < size) {
      const { value, done } = await this.source.read();
      if (done) return null;
      this.chunks.push(value);
      this.held += value.length;
    }
    const bytes = new Uint8Array(size);
    for (let filled = 0; filled < size; ) {
      const [chunk] = this.chunks as [Uint8Array];
      const taken = chunk.subarray(0, size - filled);
      bytes.set(taken, filled);
      filled += taken.length;
      if (taken.length === chunk.length) this.chunks.shift();
      else this.chunks[0] = chunk.subarray(taken.length);
    }
    this.held -= size;
    return bytes;
  }
}

function varint(value: number): number[] {
  return value < 64 ? [value] : [0x40 | (value >> 8), value & 0xff];
}

function text(value: string): number[] {
  const bytes = new TextEncoder().encode(value);
  return [...varint(bytes.length), ...bytes];
}

function message(body: number[]): number[] {
  return [...varint(body.length), ...body];
}
