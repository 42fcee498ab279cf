// What `npm run build` puts beside the compiled code, into dist/assets: nothing is fetched from elsewhere at run time.
import { dictionary } from '@zxcvbn-ts/language-common'
import { copyFileSync, cpSync, mkdirSync, writeFileSync } from 'node:fs'

const ASSETS = 'dist/assets'

mkdirSync(ASSETS, { recursive: true })
cpSync('web', `${ASSETS}/embed`, { recursive: true })
copyFileSync('node_modules/hls.js/dist/hls.light.min.js', `${ASSETS}/embed/hls.light.min.js`)
copyFileSync('node_modules/shaka-player/dist/shaka-player.hls-es2021.js', `${ASSETS}/embed/shaka-player.hls-es2021.js`)
copyFileSync('node_modules/redoc/bundles/redoc.standalone.js', `${ASSETS}/redoc.standalone.js`)

// The 1,000 commonest passwords that are long enough to be one here, from zxcvbn's list in order of frequency. The whole
// package costs a server 15 MB of memory.
const commonest = dictionary['passwords-common'].map(String).filter((password) => password.length >= 8).slice(0, 1000)
if (commonest.length < 1000) throw new Error('the list of common passwords is shorter than 1,000')
writeFileSync(`${ASSETS}/common-passwords.txt`, commonest.join('\n'))
