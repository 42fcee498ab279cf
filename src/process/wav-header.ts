/** The PCM of a WAV file. */
interface WavFormat {
  bytes: number
  channels: number
  samplesPerSecond: number
  bitsPerSample: number
}

/** Returns the 44 bytes in front of the samples of a WAV file (http://soundfile.sapp.org/doc/WaveFormat/). */
export function wavHeader ({ bytes, channels, samplesPerSecond, bitsPerSample }: WavFormat): Buffer {
  const frameBytes = (channels * bitsPerSample) / 8
  const header = Buffer.alloc(44)
  header.write('RIFF', 0)
  header.writeUInt32LE(36 + bytes, 4)
  header.write('WAVEfmt ', 8)
  header.writeUInt32LE(16, 16)
  header.writeUInt16LE(1, 20)
  header.writeUInt16LE(channels, 22)
  header.writeUInt32LE(samplesPerSecond, 24)
  header.writeUInt32LE(samplesPerSecond * frameBytes, 28)
  header.writeUInt16LE(frameBytes, 32)
  header.writeUInt16LE(bitsPerSample, 34)
  header.write('data', 36)
  header.writeUInt32LE(bytes, 40)
  return header
}
